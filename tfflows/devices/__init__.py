"""Computing on several devices: strategies, their shares of a batch, parts of a batch side by side."""
