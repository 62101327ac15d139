"""Generate many pictures: one sheet, or a folder of files in constant memory that a later call can continue."""
