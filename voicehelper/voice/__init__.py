"""Talking: turn taking, sessions that outlive their connections, text for the ear, paced sound."""
