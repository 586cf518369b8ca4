
badm*t
goodm"
xINT8"