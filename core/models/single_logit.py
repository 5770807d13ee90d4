"""How many outputs a network's last layer has: one a class, or a single one that tells two classes apart."""

from core.errors import SettingError


def outputs(number_of_classes: int, single_logit: bool) -> int:
    """Rows of the last layer.

    Raises:
        SettingError: A single logit with other than two classes.
    """
    if single_logit and number_of_classes != 2:
        raise SettingError(
            f"single_logit is true, but there are {number_of_classes} classes: one output tells two classes "
            "apart. Switch it off, or choose a data set with two classes."
        )
    return 1 if single_logit else number_of_classes
