"""YAML files become frozen, validated configs; components are named by import path."""
