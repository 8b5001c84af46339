"""Drawn faces whose attributes have a known joint distribution."""
