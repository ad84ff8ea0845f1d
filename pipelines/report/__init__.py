"""The report: one HTML file that shows people what an output holds and why."""
