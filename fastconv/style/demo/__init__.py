"""Pictures for those who have none at hand."""
