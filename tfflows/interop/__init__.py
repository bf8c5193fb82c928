"""The authors' released weights in our variables."""
