"""PixelCNN++: the network, its layers, and sampling that computes each activation once."""
