"""Histories that other programs wrote: read without loss, then understood, then told in words.

`read_history` is the door. A file becomes a table (`text_table`, `json_table`, `event_table`), the columns of
the table get their meaning by the words of their names (`column_names`, `column_choice`), the rows get their
epochs (`rows`, `epochs`), and the result says what each column was taken for (`reading`).
"""
