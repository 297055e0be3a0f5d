"""What is true: observations, the stock model, the push protocol. No I/O, no clock, no randomness."""
