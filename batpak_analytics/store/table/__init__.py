"""Whole tables as events: `Store.append_frame`."""
