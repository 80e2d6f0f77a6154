"""Freeze windows and quiet hours from iCalendar files and addresses."""
