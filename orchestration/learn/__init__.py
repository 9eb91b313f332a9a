"""Learn: what models of customers add to the marts."""
