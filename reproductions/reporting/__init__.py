"""Records of results, their comparison with the papers, and the pages and figures made from both."""
