"""Lists of subscribers as files: CSV in whatever form another program wrote it, and CSV that no spreadsheet runs."""
