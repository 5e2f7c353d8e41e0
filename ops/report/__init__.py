"""`ops report`: everything the runbooks know, on one page for people."""
