"""What one host carries: measured beside what it is compared with, in one run. See README.md."""
