
xBOOL"