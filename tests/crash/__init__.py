"""Killing the real process, at every named point between two effects and at random; and stopping it gently."""
