"""What runs the stages: in this process, or on Ray. The only folder that imports ray."""
