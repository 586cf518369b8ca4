
badm
goodm"
xINT8"