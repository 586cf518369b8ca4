
good"
xINT8"