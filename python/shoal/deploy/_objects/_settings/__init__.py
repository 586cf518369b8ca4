"""What is asked for, in words a person writes, checked before anything is rendered."""
