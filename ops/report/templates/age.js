// A saved page keeps saying what was true when it was made: say how long ago that is.
(function () {
  var made = document.getElementById("made");
  var old = document.getElementById("old");
  function tell() {
    var minutes = Math.floor((Date.now() - Date.parse(made.dateTime)) / 60000);
    var age = minutes + " min";
    if (minutes >= 120) age = Math.floor(minutes / 60) + " h";
    if (minutes >= 2880) age = Math.floor(minutes / 1440) + " days";
    document.getElementById("age").textContent = age;
    old.hidden = !(minutes >= 10);
  }
  tell();
  setInterval(tell, 20000);
})();
