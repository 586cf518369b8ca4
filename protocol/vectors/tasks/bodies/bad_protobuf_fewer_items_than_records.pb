
xUTF8*a