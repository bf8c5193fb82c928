"""PixelCNN++: the network, its layers, and sampling with each activation computed once."""
