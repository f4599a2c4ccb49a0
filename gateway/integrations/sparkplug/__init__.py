"""Sparkplug B: an edge node out of subjects, and a host application that republishes what edge nodes say."""
