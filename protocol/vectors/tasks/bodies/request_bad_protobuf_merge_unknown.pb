
goodm"
xINT8"
median