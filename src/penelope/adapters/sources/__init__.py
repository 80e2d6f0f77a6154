"""Where signals come from: a file a format, each turns a request into signals or refuses all of it."""
