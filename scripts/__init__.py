"""What a contributor types lies here; the modules behind it lie in the folders below."""
