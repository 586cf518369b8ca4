
goodm"
xINT8"
goodm"
xINT8"