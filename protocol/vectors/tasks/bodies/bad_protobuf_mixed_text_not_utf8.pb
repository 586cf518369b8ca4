
xMIXED2ÿ