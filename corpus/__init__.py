"""What comes in: the organ vocabulary, clinical reports, and CT scans."""
