"""The adapter to HaloPSA, HaloITSM and HaloServiceDesk; `adapter` is where to begin reading."""
