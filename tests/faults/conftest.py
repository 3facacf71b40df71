"""The counts of the fault tests, at the end of their report."""
import faults


def pytest_terminal_summary(terminalreporter):
    for line in faults.lines:
        terminalreporter.write_line(line)
