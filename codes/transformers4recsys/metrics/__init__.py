"""How good the ranks of the labels are: metrics of one rank each, and their exact means."""
