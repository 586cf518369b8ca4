
goodm"
xINT8"m