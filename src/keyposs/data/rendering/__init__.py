"""Faces painted from nothing: their shape, skin, hair, light and surroundings."""
