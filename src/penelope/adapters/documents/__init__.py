"""Files of many kinds, read as documents: recognised by what is in them, taken apart by headings or by what they define."""
