"""Root's commands, run in the panel's sandbox by `hostel user ...` and `hostel token ...`."""
