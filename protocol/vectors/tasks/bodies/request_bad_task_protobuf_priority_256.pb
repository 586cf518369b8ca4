
badm"
xINT8"8€
goodm"
xINT8"