"""This machine: its time, its files, its service manager.

clock          UTC; on doichain-regtest moved by the sandbox
datadir        the data directory: one network, one worker at a time; process_lock: flock and pid
private_file   files for this user alone, whole or absent
json_lines     files of one JSON object a line, and small files of one object
disk_faults    which errors of the disk may pass, and which need mending first
crash_file     the work under way, and how often it ended in a crash
systemd        ready, stopping, watchdog
"""
