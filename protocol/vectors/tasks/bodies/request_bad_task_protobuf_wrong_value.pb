
badm"
xBOOL"
goodm"
xINT8"