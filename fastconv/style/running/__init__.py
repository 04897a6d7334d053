"""A transfer as the command runs it: watched, interruptible, resumable, for one photograph or a folder."""
