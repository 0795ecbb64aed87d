"""The adapter to Request Tracker 5; `adapter` is where to begin reading."""
