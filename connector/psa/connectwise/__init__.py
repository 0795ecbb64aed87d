"""The adapter to ConnectWise PSA; `adapter` is where to begin reading."""
