"""Import: weights of your own, in three steps."""

from pages.elements.import_checkpoint.form import import_form
from pages.elements.page import page

with page("Import a checkpoint", "Bring weights of your own: every page can then open them."):
    import_form()
