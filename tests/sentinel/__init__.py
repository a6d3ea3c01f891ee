"""The content of sentinel/: queries, the workbook and the template that deploys them."""
