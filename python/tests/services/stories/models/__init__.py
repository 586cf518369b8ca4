"""The models of the stories; what they share lies in the folder `SHOAL_NOTES`."""
