"""What commands print: answers, tables, progress, text that fits the terminal."""
