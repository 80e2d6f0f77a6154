"""The entrances: HTTP and the command line. They translate, and decide nothing."""
