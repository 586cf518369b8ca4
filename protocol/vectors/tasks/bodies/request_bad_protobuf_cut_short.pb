
goodm"
xINT8"