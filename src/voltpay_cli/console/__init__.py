"""What a person sees and does at run time: streams, logs, progress and signals."""
